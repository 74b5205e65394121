-- Puts links that SQL has a copy of behind those that Redis has.
-- KEYS: term
-- ARGV: term, seconds that links are stored, then eight for each block of links: see commit.lua
-- Answer: "OK", or "FENCED" for an old term
-- include: prelude
-- include: spoiled
-- include: blocks
for i = 3, #ARGV, 8 do
  note_links(i, ARGV[2], true)
end
return 'OK'
