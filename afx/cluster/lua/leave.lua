-- Ends an incarnation: by itself ("left"), or by the leader ("fenced").
-- KEYS: worker hash, sorted set of loads, term
-- ARGV: name, incarnation, new state, term ("" when the node itself asks),
--   seq of the last heartbeat that the leader saw ("" when its death is certain)
-- Answer: "OK", "GONE" for another incarnation, "ALIVE" for a newer heartbeat,
--   "STALE" for an old term
if ARGV[4] ~= '' and (redis.call('GET', KEYS[3]) or '0') ~= ARGV[4] then
  return 'STALE'
end
local held = redis.call('HMGET', KEYS[1], 'incarnation', 'seq')
if held[1] ~= ARGV[2] then
  return 'GONE'
end
if ARGV[5] ~= '' and held[2] ~= ARGV[5] then
  -- It has renewed its lease since: that one has to run out first.
  return 'ALIVE'
end
redis.call('HSET', KEYS[1], 'state', ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 'OK'
