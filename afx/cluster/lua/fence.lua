-- Fences an incarnation: it can neither renew its lease nor register again.
-- KEYS: term, worker hash, sorted set of loads
-- ARGV: term, name, incarnation, seq of the last heartbeat that the leader saw
--   ("" when the node's death is certain)
-- Answer: "OK", "GONE" for another incarnation, "ALIVE" when a newer heartbeat has renewed
--   the lease, which has to expire first, or "FENCED" for an old term
-- include: prelude
local node = redis.call('HMGET', KEYS[2], 'incarnation', 'seq')
if node[1] ~= ARGV[3] then
  return 'GONE'
end
if ARGV[4] ~= '' and node[2] ~= ARGV[4] then
  return 'ALIVE'
end
redis.call('HSET', KEYS[2], 'state', 'fenced')
redis.call('ZREM', KEYS[3], ARGV[2])
return 'OK'
