-- Notes that SQL has a copy of blocks of links, unless they have changed since they were read.
-- KEYS: term, set of the changed blocks
-- ARGV: term, then for each block: its member of the set, its key, its length when it was read
-- Answer: "OK", or "FENCED" for an old term
-- include: prelude
for i = 2, #ARGV, 3 do
  if redis.call('STRLEN', ARGV[i + 1]) == tonumber(ARGV[i + 2]) then
    redis.call('SREM', KEYS[2], ARGV[i])
  end
end
return 'OK'
