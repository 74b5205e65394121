-- Notes doubts of a pool's lane that its owner knows and Redis has lost. When they were asked for is
-- not known any more, so that an operator decides them.
-- KEYS: assignment of the owning session, lane
-- ARGV: incarnation, epoch, seconds that the lane is stored, fence, sender, their ids with their
--   messages, as "id:source:message,"
-- Answer: 1; 0 when another incarnation or epoch owns the session; -1 when Redis has lost its
--   owner; -2 when the fence is an old one, or an order is under way
-- include: spoiled
-- include: pool
local verdict = may_change(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[4])
if verdict ~= 1 then
  return verdict
end
for id, of in string.gmatch(ARGV[6], '(%-?%d+):([^,]*),') do
  if redis.call('HSETNX', KEYS[2], 'doubt:' .. id, ARGV[5]) == 1 then
    redis.call('HSET', KEYS[2], 'of:' .. id, of .. ':0:0')
  end
end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
