-- Frees room that was kept for sessions which do not come after all.
-- KEYS: term
-- ARGV: term, then a JSON list per item: [session, node, incarnation, ...]
-- Answer: how many places were freed, or -1 for an old term
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return -1
end
local count = 0
for i = 2, #ARGV do
  local item = cjson.decode(ARGV[i])
  local id = string.format('%d', item[1])
  local worker = 'afx:worker:' .. item[2]
  if redis.call('HGET', worker, 'incarnation') == item[3] then
    local bytes = redis.call('HGET', worker .. ':reserved', id)
    if bytes then
      redis.call('HDEL', worker .. ':reserved', id)
      redis.call('HINCRBY', worker, 'reserved', string.format('%.0f', -tonumber(bytes)))
      redis.call('HINCRBY', worker, 'assigned', -1)
      count = count + 1
    end
  end
end
return count
