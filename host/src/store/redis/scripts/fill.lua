-- Stores an envelope if the lease still holds the caller's token, and spends the lease.
-- KEYS: value, lease, waiters, body. ARGV: token, envelope, until when to keep it (server's ms), and the
-- body of a large value or ''.
-- Answers whether the fill was accepted.
local now = now_ms()

if not holds(KEYS[2], ARGV[1]) then
  return {now, 0}
end
redis.call('DEL', KEYS[1], KEYS[4])
if tonumber(ARGV[3]) > now then
  redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
  if #ARGV[4] > 0 then
    redis.call('SET', KEYS[4], ARGV[4], 'PXAT', ARGV[3])
  end
end
redis.call('DEL', KEYS[2])
settled(KEYS[1], KEYS[3])
return {now, 1}
