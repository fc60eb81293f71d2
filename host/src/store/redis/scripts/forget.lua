-- Removes members from an index, except those that were indexed again since they were read.
-- KEYS: index. ARGV: member, the score it had, and so on. Answers how many were removed.
local now = now_ms()
local removed = 0

for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    removed = removed + redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return {now, removed}
