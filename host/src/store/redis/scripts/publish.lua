-- Writes namings into a range as used now, and floors where there are none.
-- KEYS: range. ARGV: how long the range is kept in ms, a new version, a new floor of everything, and for
-- each naming: its field, how long it is in use in ms, its JSON, the field of its floor, a new floor.
-- Answers whether the range was empty, the places of those namings that were not in use, and every field of
-- the range. When the range loses a naming, no naming counts as known any more: the host of the lost one may
-- be alive, and only the server's clock ahead.
local now = now_ms()
local range = KEYS[1]
local was_empty = redis.call('HEXISTS', range, 'version') == 0
local changed = was_empty

local fields = redis.call('HGETALL', range)
local lost = false
for i = 1, #fields, 2 do
  local scope = fields[i]:match('^naming:(.*)$')
  if scope then
    local used, lasts = fields[i + 1]:match('^(%d+) (%d+) ')
    if not used or now > tonumber(used) + tonumber(lasts) then
      redis.call('HDEL', range, fields[i], 'floor:' .. scope)
      lost, changed = true, true
    end
  end
end
for i = 1, lost and #fields or 0, 2 do
  if fields[i]:match('^known:') then
    redis.call('HDEL', range, fields[i])
  end
end

if redis.call('HSETNX', range, 'floor', ARGV[3]) == 1 then
  changed = true
end
local new = {}
for i = 4, #ARGV, 5 do
  if redis.call('HEXISTS', range, ARGV[i]) == 0 then
    new[#new + 1] = (i - 4) / 5
    changed = true
  end
  redis.call('HSET', range, ARGV[i], string.format('%.0f', now) .. ' ' .. ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  if redis.call('HSETNX', range, ARGV[i + 3], ARGV[i + 4]) == 1 then
    changed = true
  end
end
if changed then
  redis.call('HSET', range, 'version', ARGV[2])
end
redis.call('PEXPIRE', range, ARGV[1])
return {now, {was_empty and 1 or 0, new, redis.call('HGETALL', range)}}
