-- Health of a SeldonDeployment. Available is Healthy, Failed is Degraded, everything else is on its way; so is an Available
-- from before a predictor came: Seldon's operator sets no observedGeneration, but it counts every predictor's Deployment.
-- The message is for a person: "stable 7 at 95 %, canary 8 at 5 %: 1 of 2 replicas ready". Versions and traffic are what git
-- says, from metadata.annotations; where the live predictor differs, the message tells both.
-- Argo CD keeps the message of the moment in which the status became what it is; a count in it is that moment's.
-- Argo CD gives a health check no string library: `..` and exact names are what there is.
local HEALTH = {Available = "Healthy", Failed = "Degraded"}
local status = obj.status or {}
local committed = obj.metadata.annotations or {}

-- Deployments are named <SeldonDeployment>-<predictor>-<number>-<containers>.
local function deployment(predictor)
  local names = {}
  for number, component in ipairs(predictor.componentSpecs or {}) do
    for _, container in ipairs((component.spec or {}).containers or {}) do
      names[#names + 1] = container.name
    end
    return obj.metadata.name .. "-" .. predictor.name .. "-" .. (number - 1) .. "-" .. table.concat(names, "-")
  end
end

local function missing(predictor)
  local counts = (status.deploymentStatus or {})[deployment(predictor) or ""] or {}
  local ready, wanted = counts.availableReplicas or 0, counts.replicas or 0
  if ready < wanted then
    return ": " .. ready .. " of " .. wanted .. " replicas ready"
  end
  return ""
end

local function runs(predictor)
  local traffic = predictor.traffic or 0
  if #obj.spec.predictors == 1 then traffic = 100 end
  local live = ((predictor.annotations or {}).version or "?") .. " at " .. traffic .. " %"
  local said = committed["rollout/" .. predictor.name] or live
  if said ~= live then
    return said .. " in git, " .. live .. " live"
  end
  return said
end

local function counts_all()
  if status.deploymentStatus == nil then return true end
  local counted = 0 -- not by name: a long one is a hash
  for _ in pairs(status.deploymentStatus) do counted = counted + 1 end
  return counted >= #obj.spec.predictors
end

local parts = {}
for i, predictor in ipairs(obj.spec.predictors) do
  parts[i] = predictor.name .. " " .. runs(predictor) .. missing(predictor)
end

local health = {status = HEALTH[status.state] or "Progressing", message = table.concat(parts, ", ")}
if status.state == nil or (status.state == "Available" and not counts_all()) then
  health.status = "Progressing"
  health.message = health.message .. ". Not ready yet"
elseif status.state == "Failed" and (status.description or "") ~= "" then
  health.message = health.message .. ". " .. status.description
end
return health
