-- Sets the desired state of a running node; its next heartbeat answers it.
-- KEYS: term, worker hash, sorted set of loads
-- ARGV: term, name, incarnation, state
-- Answer: "OK", "GONE" for another incarnation or one that has ended, or "FENCED" for an
--   old term
-- include: prelude
-- include: spoiled
require_type(KEYS[2], 'hash')
require_type(KEYS[3], 'zset')
local node = redis.call('HMGET', KEYS[2], 'incarnation', 'state')
if node[1] ~= ARGV[3] or node[2] == 'fenced' or node[2] == 'left' then
  return 'GONE'
end
redis.call('HSET', KEYS[2], 'state', ARGV[4])
if ARGV[4] ~= 'ready' then
  redis.call('ZREM', KEYS[3], ARGV[2])
end
return 'OK'
