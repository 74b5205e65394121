-- Sets what is wanted of a live node; it hears of it with its next heartbeat.
-- KEYS: worker hash, sorted set of loads, term
-- ARGV: name, incarnation, state, term
-- Answer: "OK", "GONE" for another incarnation or one that has ended,
--   "STALE" for an old term
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[4] then
  return 'STALE'
end
local held = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if held[1] ~= ARGV[2] or held[2] == 'fenced' or held[2] == 'left' then
  return 'GONE'
end
redis.call('HSET', KEYS[1], 'state', ARGV[3])
if ARGV[3] ~= 'ready' then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return 'OK'
