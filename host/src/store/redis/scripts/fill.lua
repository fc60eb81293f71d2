-- Stores an envelope if the lease is still the caller's, and spends the lease.
-- KEYS: value, lease, waiters. ARGV: token, envelope, until when to keep it (server's ms).
-- Answers whether it was accepted.
local now = now_ms()

if not holds(KEYS[2], ARGV[1]) then
  return {now, 0}
end
if tonumber(ARGV[3]) > now then
  redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
redis.call('DEL', KEYS[2])
settled(KEYS[1], KEYS[3])
return {now, 1}
