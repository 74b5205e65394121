-- Fences an incarnation: it can neither renew its lease nor register again.
-- KEYS: term, worker hash, sorted set of loads
-- ARGV: term, run id of the Redis process in which the leader was elected, name,
--   incarnation, seq of the last heartbeat that the leader saw ("" when the node's
--   death is certain)
-- Answer: "OK", "GONE" for another incarnation, "ALIVE" when a newer heartbeat has renewed
--   the lease, which has to expire first, or "FENCED" for an old term or another process
-- include: prelude
-- After a failover or a restart the heartbeats of this process may lag behind those that
-- the leader saw: the same seq does not show that the node was silent.
if redis.call('INFO', 'server'):match('run_id:(%w+)') ~= ARGV[2] then
  return 'FENCED'
end
local node = redis.call('HMGET', KEYS[2], 'incarnation', 'seq')
if node[1] ~= ARGV[4] then
  return 'GONE'
end
-- A counter that is malformed still is the one that the leader saw as -1; with it no
-- heartbeat of the node succeeds.
local same = node[2] == ARGV[5] or (ARGV[5] == '-1' and not tonumber(node[2] or '0'))
if ARGV[5] ~= '' and not same then
  return 'ALIVE'
end
-- First the write that needs no memory: see beat.lua.
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[2], 'state', 'fenced')
return 'OK'
