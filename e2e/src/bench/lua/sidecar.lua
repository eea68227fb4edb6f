-- The sidecar's part: remember which lane a flow came in with, give it back to calls that dropped it.
--
-- Two generations of tables bound the memory: an id is forgotten 30 to 60 seconds after it was last seen.
local GENERATION_S = 30
local IDS_MAX = 65536
local BASELINE = ""
local AMBIGUOUS = false

local young, old, born, ids = {}, {}, os.time(), 0

local function turn_generations()
  local now = os.time()
  if now - born >= GENERATION_S or ids >= IDS_MAX then
    old, young, born, ids = young, {}, now, 0
  end
end

local function remember(id, lane)
  turn_generations()
  local known = young[id]
  if known == nil then
    ids = ids + 1
    known = old[id]
  end
  if known ~= nil and known ~= lane then
    lane = AMBIGUOUS
  end
  young[id] = lane
end

local function recall(id)
  local known = young[id]
  if known == nil then
    known = old[id]
  end
  return known
end

local function trace_id(headers)
  local traceparent = headers:get("traceparent")
  if traceparent and #traceparent >= 55 then
    return string.sub(traceparent, 4, 35)
  end
end

local function from_baggage(baggage)
  return baggage and string.match(baggage, "canary%-lane=([^,; ]+)")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local tag = headers:get("x-canary-lane")
  local baggage = headers:get("baggage")
  local lane = tag or from_baggage(baggage)
  local id = trace_id(headers)

  if lane == nil and id ~= nil then
    local known = recall(id)
    if known == nil then
      remember(id, BASELINE)
    elseif known ~= BASELINE and known ~= AMBIGUOUS then
      lane = known
    end
  elseif id ~= nil then
    remember(id, lane)
  end
  if lane == nil then
    return
  end

  if tag ~= lane then
    headers:replace("x-canary-lane", lane)
  end
  if baggage == nil then
    headers:replace("baggage", "canary-lane=" .. lane)
  elseif from_baggage(baggage) ~= lane then
    headers:replace("baggage", baggage .. ",canary-lane=" .. lane)
  end
  if tag ~= lane then
    handle:clearRouteCache()
  end
end
