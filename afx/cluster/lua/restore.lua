-- Makes nodes the owners of the sessions that SQL says they run, where Redis has lost it.
-- KEYS: term
-- ARGV: term, then a JSON list per item: [session, node, incarnation, epoch]
-- Answer: how many owners were written, or "FENCED" for an old term
-- include: prelude
local count = 0
for i = 2, #ARGV do
  local session, node, incarnation, epoch = unpack(cjson.decode(ARGV[i]))
  local assignment = 'afx:session:' .. string.format('%d', session) .. ':assignment'
  local owner = redis.call('HMGET', assignment, 'incarnation', 'epoch')
  local last = tonumber(owner[2] or '0')
  if last < epoch or (last == epoch and owner[1] ~= incarnation) then
    redis.call('HSET', assignment, 'node', node, 'incarnation', incarnation,
               'epoch', string.format('%.0f', epoch))
    count = count + 1
  end
end
return count
