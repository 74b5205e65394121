-- Term check, included at the top of every script that only the leader may run.
-- KEYS[1]: term; ARGV[1]: the caller's term
-- Ends the script with the answer "FENCED" when another leader has begun a newer term.
-- A key of another type answers an error, which is no term either.
if (redis.pcall('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return 'FENCED'
end
