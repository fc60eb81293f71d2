-- Asks to be told when the lease ends; the request lives no longer than the lease does now.
-- KEYS: lease, waiters. Answers the ms left of the lease, or less than 0 if there is none.
local now = now_ms()
local left = redis.call('PTTL', KEYS[1])

if left > 0 then
  redis.call('SET', KEYS[2], '1', 'PX', left)
end
return {now, left}
