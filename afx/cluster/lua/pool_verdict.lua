-- Stores what an operator has decided of a doubt of a pool's lane; its owner obeys it.
-- KEYS: lane
-- ARGV: id, the sender that may have sent it, "not-sent" or "sent:" with the id of the copy
-- Answer: 1; 0 when it is not in doubt, or another sender may have sent it
-- include: spoiled
require_type(KEYS[1], 'hash')
if redis.call('HGET', KEYS[1], 'doubt:' .. ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'verdict:' .. ARGV[1], ARGV[3])
return 1
