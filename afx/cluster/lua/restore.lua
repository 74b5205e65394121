-- Makes nodes the owners of what SQL says they run, where Redis has lost it.
-- KEYS: term
-- ARGV: term, then a JSON list per item: [session, node, incarnation, epoch]
-- Answer: how many owners were written, or -1 for an old term
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return -1
end
local count = 0
for i = 2, #ARGV do
  local item = cjson.decode(ARGV[i])
  local assignment = 'afx:session:' .. string.format('%d', item[1]) .. ':assignment'
  local held = redis.call('HMGET', assignment, 'incarnation', 'epoch')
  local last = tonumber(held[2] or '0')
  if last < item[4] or (last == item[4] and held[1] ~= item[3]) then
    redis.call('HSET', assignment, 'node', item[2], 'incarnation', item[3],
               'epoch', string.format('%.0f', item[4]))
    count = count + 1
  end
end
return count
