-- Term check, included at the top of every script that only the leader may run.
-- KEYS[1]: term; ARGV[1]: the caller's term
-- Ends the script with the answer "FENCED" when another leader has begun a newer term.
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return 'FENCED'
end
