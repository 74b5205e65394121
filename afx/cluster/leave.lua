-- Ends an incarnation: by itself ("left"), or by the leader ("fenced").
-- KEYS: worker hash, sorted set of loads, term
-- ARGV: name, incarnation, new state, term ("" when the node itself asks)
-- Answer: "OK", "GONE" for another incarnation, "STALE" for an old term
if ARGV[4] ~= '' and (redis.call('GET', KEYS[3]) or '0') ~= ARGV[4] then
  return 'STALE'
end
if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[2] then
  return 'GONE'
end
redis.call('HSET', KEYS[1], 'state', ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 'OK'
