-- POST /v1/recommendations and /v1/similar-items: turns Triton's binary answer into the JSON that the model wrote.
-- The answer is a JSON header (its length stands in Inference-Header-Content-Length), then the one string tensor: four bytes
-- of length and the text. Nothing is parsed here: what the model wrote is what the client gets. What goes well passes chunk by
-- chunk, for a batch's answers are larger than what this door holds; a refusal is short, and held.

local FRAME = 4

local function name_as_json(headers)
  headers:replace("content-type", "application/json")
  headers:remove("inference-header-content-length")
end

local function answer(handle, status, text)
  local length = handle:body(true):setBytes(text)
  local headers = handle:headers()
  headers:replace(":status", status)
  headers:replace("content-length", tostring(length))
  name_as_json(headers)
end

local function drop_first(handle, left)
  for chunk in handle:bodyChunks() do
    local size = chunk:length()
    local cut = math.min(left, size)
    if cut > 0 then
      chunk:setBytes(cut < size and chunk:getBytes(cut, size - cut) or "")
      left = left - cut
    end
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("content-type") == "application/json" then
    return -- Envoy's own reply (time-out, no healthy server): JSON already
  end
  local status = headers:get(":status")
  local header_size = tonumber(headers:get("inference-header-content-length") or "")
  local size = tonumber(headers:get("content-length") or "")
  if status == "200" and header_size and size and size >= header_size + FRAME then
    headers:replace("content-length", tostring(size - header_size - FRAME))
    name_as_json(headers)
    drop_first(handle, header_size + FRAME)
    return
  end
  -- Waits for the whole body; headers fetched before may not be used after it.
  local body = handle:body(true)
  if status == "400" then
    -- A step refused the request; Triton wraps its text in {"error": ...} and names the ensemble in front of it.
    answer(handle, "400", (body:getBytes(0, body:length()):gsub("in ensemble '[%w_]+', ", "", 1)))
  elseif status == "200" then
    answer(handle, "502", '{"error":"the recommender answered in an unknown format"}')
  else
    -- Triton's text may hold a stack trace with paths: that belongs to its log, not to clients.
    handle:logErr("triton answered " .. status .. ": " .. body:getBytes(0, math.min(body:length(), 2000)))
    local ours = (status == "500") and "500" or "503"
    answer(handle, ours, '{"error":"the recommender could not answer; try again"}')
  end
end
