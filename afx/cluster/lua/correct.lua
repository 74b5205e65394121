-- Corrects a node's count of sessions, and its reservations, to what SQL says.
-- Only then does place.lua give it any in this leader's term.
-- KEYS: worker hash, reservations, term
-- ARGV: incarnation, term, then the ids of the sessions that it has
-- Answer: "OK", or "GONE" for another incarnation, or "STALE" for an old term
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then
  return 'STALE'
end
if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then
  return 'GONE'
end
local has = {}
for i = 3, #ARGV do has[ARGV[i]] = true end
local kept = redis.call('HGETALL', KEYS[2])
local reserved = 0
for i = 1, #kept, 2 do
  if has[kept[i]] then
    reserved = reserved + tonumber(kept[i + 1])
  else
    redis.call('HDEL', KEYS[2], kept[i])
  end
end
redis.call('HSET', KEYS[1], 'assigned', #ARGV - 2, 'reserved', string.format('%.0f', reserved),
           'counted', ARGV[2])
return 'OK'
