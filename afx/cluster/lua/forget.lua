-- Removes the record of a node that is dead or has left.
-- KEYS: worker hash, reservations, set of workers, term
-- ARGV: name, term
-- Answer: "OK", "LIVE" when the node has begun anew, or "STALE" for an old term
if (redis.call('GET', KEYS[4]) or '0') ~= ARGV[2] then
  return 'STALE'
end
local held = redis.call('HMGET', KEYS[1], 'state', 'boot_id')
if held[1] and held[1] ~= 'fenced' and held[1] ~= 'left' then
  return 'LIVE'
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SREM', KEYS[3], ARGV[1])
if held[2] then
  redis.call('SREM', 'afx:machine:' .. held[2], ARGV[1])
end
return 'OK'
