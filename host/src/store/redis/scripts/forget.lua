-- Removes members from an index, except those that were indexed again since they were read, and
-- only while the caller's own mark is the newest: a later invalidation may still need a member
-- (race Q).
-- KEYS: index, mark. ARGV: random of the caller's mark, member, the score it had, and so on.
-- Answers how many were removed.
local now = now_ms()
local removed = 0
local mark = redis.pcall('GET', KEYS[2])

if type(mark) ~= 'string' or mark:sub(1, #ARGV[1]) ~= ARGV[1] then
  return {now, 0}
end
for i = 2, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    removed = removed + redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return {now, removed}
