-- Extends a lease that still holds the caller's token.
-- KEYS: lease. ARGV: token, lease in ms. Answers whether it did.
local now = now_ms()

if not holds(KEYS[1], ARGV[1]) then
  return {now, 0}
end
return {now, redis.call('PEXPIRE', KEYS[1], ARGV[2])}
