-- Makes nodes the owners of the sessions that SQL says they run, where Redis has lost it.
-- KEYS: term
-- ARGV: term, then a JSON list per item: [session, node, incarnation, epoch]
-- Answer: how many owners were written, or "FENCED" for an old term
-- include: prelude
-- include: spoiled
local count = 0
for i = 2, #ARGV do
  local session, node, incarnation, epoch = unpack(cjson.decode(ARGV[i]))
  local assignment = 'afx:session:' .. string.format('%d', session) .. ':assignment'
  require_type(assignment, 'hash')
  local owner = redis.call('HMGET', assignment, 'incarnation', 'epoch')
  local last = epoch_of(assignment, owner[2], epoch)
  if last < epoch or (last == epoch and owner[1] ~= incarnation) then
    redis.call('HSET', assignment, 'node', node, 'incarnation', incarnation,
               'epoch', string.format('%.0f', epoch))
    count = count + 1
  end
end
return count
