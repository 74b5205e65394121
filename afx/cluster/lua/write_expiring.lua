-- Sets a key to a value that expires: what no leader renews is not believed for long.
-- KEYS: term, the key
-- ARGV: term, the value, milliseconds to live
-- Answer: "OK", or "FENCED" for an old term
-- include: prelude
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 'OK'
