-- Puts an order for a sender into a pool's lane, and tells the sender's node. Another sender
-- than the one before gets a fence of its own.
-- KEYS: assignment of the owning session, lane
-- ARGV: incarnation, epoch, fence, sender, sequence, order, ids of its sends as "a,b,",
--   what is told to the sender's node, the fence that the order has, which messages its sends are
--   of, as "id:source:message,"
-- Answer: 1; 0 when another incarnation or epoch owns the session; -1 when Redis has lost its
--   owner; -2 when the fence is an old one, or an order is under way; -3 when no node has the
--   sender
-- include: spoiled
-- include: pool
local verdict = may_change(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
if verdict ~= 1 then
  return verdict
end
local is_told = tell(ARGV[4], ARGV[8])
note_node(KEYS[2], ARGV[4], is_told)
if not is_told then
  return -3
end
redis.call('HSET', KEYS[2], 'sender', ARGV[4], 'fence', ARGV[9], 'sequence', ARGV[5],
           'order', ARGV[6], 'ids', ARGV[7], 'state', 'put',
           'run', this_process(), 'names', ARGV[10])
redis.call('HDEL', KEYS[2], 'answer', 'epoch', 'sent', 'poster')
return 1
