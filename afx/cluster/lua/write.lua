-- Sets keys to values, as long as the leader that asks still leads.
-- KEYS: term, then the keys
-- ARGV: the leader's term, then a value for each key
-- Answer: "OK", or "STALE" for an old term
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return 'STALE'
end
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i])
end
return 'OK'
