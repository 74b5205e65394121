-- Sets keys to values.
-- KEYS: term, then the keys
-- ARGV: term, then a value for each key
-- Answer: "OK", or "FENCED" for an old term
-- include: prelude
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i])
end
return 'OK'
