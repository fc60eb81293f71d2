-- Grants the lease on a name, or says why not.
-- KEYS: value, lease. ARGV: token, lease in ms, prefix of a readable envelope, newest loaded_at
-- known to the caller, whether a held lease is respected ('if-free' or 'take-over'), and the longest lease
-- that may be asked for, in ms.
-- Answers {'granted'}, {'held', ms left} or {'found', envelope}.
local now = now_ms()

if ARGV[5] == 'if-free' then
  local prefix = ARGV[3]
  local head = redis.pcall('GETRANGE', KEYS[1], 0, #prefix + 7)
  if type(head) == 'string' and #head == #prefix + 8 and head:sub(1, #prefix) == prefix then
    local loaded_at = struct.unpack('<I8', head, #prefix + 1)
    if loaded_at > tonumber(ARGV[4]) then
      -- GETEX counts as a write: a replica, which may remember what was invalidated, refuses it.
      return {now, {'found', redis.call('GETEX', KEYS[1])}}
    end
  end
  -- A lease without a lifetime (-1) was written by another program and would be held for ever: it counts as
  -- free. So does a lease that outlasts every lease that may be asked for, because the server's clock was set
  -- back (race N).
  local left = redis.call('PTTL', KEYS[2])
  if left >= 0 and left <= tonumber(ARGV[6]) then
    return {now, {'held', left}}
  end
end

redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {now, {'granted'}}
