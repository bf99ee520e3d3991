-- Health of a SeldonDeployment. Available is Healthy, Failed is Degraded, everything else is on its way.
-- The message is for a person: "stable 7 at 95 %, canary 8 at 5 %: 1 of 2 replicas ready".
local HEALTH = {Available = "Healthy", Failed = "Degraded"}
local name = obj.metadata.name
local predictors = obj.spec.predictors
local status = obj.status or {}

-- Deployments are named <SeldonDeployment>-<predictor>-<number>-<containers>.
local function missing(predictor)
  local prefix = name .. "-" .. predictor.name .. "-"
  for deployment, counts in pairs(status.deploymentStatus or {}) do
    local ready, wanted = counts.availableReplicas or 0, counts.replicas or 0
    if string.sub(deployment, 1, #prefix) == prefix and ready < wanted then
      return string.format(": %d of %d replicas ready", ready, wanted)
    end
  end
  return ""
end

local parts = {}
for i, predictor in ipairs(predictors) do
  local version = (predictor.annotations or {}).version or "?"
  local traffic = predictor.traffic or 0
  if #predictors == 1 then traffic = 100 end
  parts[i] = string.format("%s %s at %d %%", predictor.name, version, traffic) .. missing(predictor)
end

local health = {status = HEALTH[status.state] or "Progressing", message = table.concat(parts, ", ")}
if status.state == nil then
  health.message = health.message .. ". Seldon's operator has not looked at it yet"
elseif status.state ~= "Available" and (status.description or "") ~= "" then
  health.message = health.message .. ". " .. status.description
end
return health
