-- Ends doubts of a pool's lane as an operator has decided, with the links of the copies that exist.
-- KEYS: assignment of the owning session, lane, its posters
-- ARGV: incarnation, epoch, seconds that links are stored, fence, ids that are in doubt no more as
--   "a,b,", who has made the copies, these as "a,b,", then eight for each block of links (see
--   commit.lua)
-- Answer: 1; 0 when another incarnation or epoch owns the session; -1 when Redis has lost its
--   owner; -2 when the fence is an old one, or an order is under way
-- include: spoiled
-- include: blocks
-- include: pool
local verdict = may_change(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[4])
if verdict ~= 1 then
  return verdict
end
for i = 8, #ARGV, 8 do
  note_links(i, ARGV[3], false)
end
if ARGV[7] ~= '' then
  note_posters(KEYS[2], KEYS[3], ARGV[7], ARGV[6], ARGV[3])
end
for id in string.gmatch(ARGV[5], '%-?%d+') do
  settle(KEYS[2], id)
end
return 1
