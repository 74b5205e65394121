-- Makes nodes the owners of sessions, where the nodes have room for them.
-- KEYS: term
-- ARGV: term, then a JSON list per item:
--   [session, node, incarnation, epoch, bytes, headroom bytes, headroom share]
-- Answer: for each item
--   "OK": the node owns the session; room that reserve.lua took for it is used
--   "NOFIT": the node has no room
--   "STALE": the node is not ready, has another incarnation or was not reconciled in this
--     term (reconcile.lua), or the session has been placed under this epoch or a newer one
--   "OWNED": another owner of the session was not released: it may still run there, even
--     if SQL has lost that, and even if its node has no record any more
-- Or "FENCED" for an old term.
-- include: prelude
-- include: spoiled
-- include: room
local answers = {}
for i = 2, #ARGV do
  local session, node, incarnation, epoch, bytes, headroom, share = unpack(cjson.decode(ARGV[i]))
  local id = string.format('%d', session)
  local worker = 'afx:worker:' .. node
  local assignment = 'afx:session:' .. id .. ':assignment'
  require_type(assignment, 'hash')
  local owner = redis.call('HMGET', assignment, 'epoch', 'incarnation')
  local last = epoch_of(assignment, owner[1], epoch)
  local reserved = reserved_bytes(worker, id)
  if last >= epoch or not accepts(worker, incarnation, ARGV[1]) then
    answers[i - 1] = 'STALE'
  elseif owner[2] and owner[2] ~= '' then
    answers[i - 1] = 'OWNED'
  elseif not reserved and not has_room(worker, bytes, headroom, share, 0) then
    answers[i - 1] = 'NOFIT'
  else
    redis.call('HSET', assignment, 'node', node, 'incarnation', incarnation,
               'epoch', string.format('%.0f', epoch))
    if not reserved then
      take_room(worker, id, bytes)
    end
    answers[i - 1] = 'OK'
  end
end
return answers
