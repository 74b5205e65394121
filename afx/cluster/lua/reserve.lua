-- Reserves room on nodes for sessions that are to move there and still run elsewhere.
-- place.lua finds the room again; unreserve.lua gives it back.
-- KEYS: term
-- ARGV: term, then a JSON list per item:
--   [session, node, incarnation, bytes, headroom bytes, headroom share, premium share]
--   The premium share of the node's RAM is left free; it is 0 for a premium session.
-- Answer: for each item
--   "OK": the room is reserved, or was before
--   "NOFIT": the node has no room
--   "STALE": the node is not ready, has another incarnation or was not reconciled in this term
-- Or "FENCED" for an old term.
-- include: prelude
-- include: spoiled
-- include: room
local answers = {}
for i = 2, #ARGV do
  local session, node, incarnation, bytes, headroom, share, premium =
    unpack(cjson.decode(ARGV[i]))
  local id = string.format('%d', session)
  local worker = 'afx:worker:' .. node
  if not accepts(worker, incarnation, ARGV[1]) then
    answers[i - 1] = 'STALE'
  elseif reserved_bytes(worker, id) then
    answers[i - 1] = 'OK'
  elseif not has_room(worker, bytes, headroom, share, premium) then
    answers[i - 1] = 'NOFIT'
  else
    take_room(worker, id, bytes)
    answers[i - 1] = 'OK'
  end
end
return answers
