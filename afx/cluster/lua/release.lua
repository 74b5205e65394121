-- Takes sessions off the node that owned them; the epoch stays as a fence.
-- KEYS: term
-- ARGV: term, then a JSON list per item: [session, node, incarnation, epoch]
-- Answer: how many were released, or -1 for an old term
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return -1
end
local count = 0
for i = 2, #ARGV do
  local item = cjson.decode(ARGV[i])
  local id = string.format('%d', item[1])
  local assignment = 'afx:session:' .. id .. ':assignment'
  local epoch = string.format('%.0f', item[4])
  if redis.call('HGET', assignment, 'epoch') == epoch
     and redis.call('HGET', assignment, 'node') ~= '' then
    -- The next epoch's place holder: commits of the old owner are refused from here on.
    redis.call('HSET', assignment, 'node', '', 'incarnation', '')
    local worker = 'afx:worker:' .. item[2]
    if redis.call('HGET', worker, 'incarnation') == item[3] then
      local bytes = redis.call('HGET', worker .. ':reserved', id)
      if bytes then
        redis.call('HDEL', worker .. ':reserved', id)
        redis.call('HINCRBY', worker, 'reserved', string.format('%.0f', -tonumber(bytes)))
      end
      redis.call('HINCRBY', worker, 'assigned', -1)
    end
    count = count + 1
  end
end
return count
