-- Stores what an operator has decided of a doubt of a pool's lane; its owner obeys it.
-- KEYS: lane, claims on posts of its destination
-- ARGV: id, the sender that may have sent it, "not-sent" or "sent:" with the id of the copy,
--   the seconds that claims are stored
-- Answer: 1; 0 when it is not in doubt, or another sender may have sent it; -1 when the copy is
--   that of another message
-- include: spoiled
require_type(KEYS[1], 'hash')
if redis.call('HGET', KEYS[1], 'doubt:' .. ARGV[1]) ~= ARGV[2] then
  return 0
end
require_type(KEYS[2], 'hash')
local copy = string.match(ARGV[3], '^sent:(%d+)$')
local whose = copy and redis.call('HGET', KEYS[2], copy)
if whose and whose ~= ARGV[1] then
  return -1
end
local before = string.match(redis.call('HGET', KEYS[1], 'verdict:' .. ARGV[1]) or '', '^sent:(%d+)$')
if before and redis.call('HGET', KEYS[2], before) == ARGV[1] then
  redis.call('HDEL', KEYS[2], before)
end
if copy then
  redis.call('HSET', KEYS[2], copy, ARGV[1])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
redis.call('HSET', KEYS[1], 'verdict:' .. ARGV[1], ARGV[3])
return 1
