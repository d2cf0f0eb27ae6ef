// gs: what there is no counterpart for says so, by its name; the rest of the list is in the vendor's
// type declarations. What gs itself has under one of these names goes first.
const ABSENT = `OLAPBuildTimeDimension _cacheFlush _dropTable _getScriptError _getScriptErrorForTable
  addUpgradeDebuggerArtifact alterSqlFieldDefintion appLoad appLoadData appLoadDemo appUpdate appUpgrade
  beginningOfLastSchedulePeriod beginningOfNextSchedulePeriod beginningOfSchedulePeriodsAgo
  beginningOfThisSchedulePeriod breaker createUser datePart disableSessionScopeDebug dropColumn
  dropColumnQuick dropTable dropTableRecord dumpProperties dumpPropertiesSecured enableSessionScopeDebug
  endOfLastSchedulePeriod endOfNextSchedulePeriod endOfSchedulePeriodsAgo endOfThisSchedulePeriod
  ensureCompositeIndex ensureIndex eventsProcess executeCondition fileExists getCannotConfigureScopeReason
  getCssCacheVersionString getCustomerPrefix getDictionaryEntryPackage getDictionaryEntryScope getGlideHome
  getInScopeDBViews getInScopeTables getInstanceIP getJavaVersion getJellyVariable getNavMessage
  getNewAppScopeCompanyPrefix getNodeName getNodeValue getScopeIdByElementName getScopeIdByRecordId
  getScopeLabelByElementName getScopeLabelByRecordId getScopeNameByElementName getScopeNameByRecordId
  getScriptErrorFromScope getStyle getTempDir getUpgradeDebuggerResult getVendorPrefixPrefix getXMLNodeList
  globalPut hasRightsTo healthCheck indexUpdate installationSetting isValidScriptFromScope load
  loadBatchScript loadFixes loadResource loadUpdates mergeAttribute pause processDelegatedEvents publish
  publishToUser rebuildAllIndexes rebuildIndexes renameTable reset resetDB resolveIcon resume
  setCannotCancel setCurrentApplicationId sql sqlItemsByField sqlItemsByID statsThisSession tableCreate
  tableDrop templateExists templateOrMacroExists transpile truncateTable unWrap unload unloadAll
  unloadChoices unloadRecordToXML unloadWithQuery updateSave updateUnload`;

rareMakers.push((methods) => {
  for (const name of ABSENT.split(/\s+/)) {
    const absent = () => { throw new Error(`not available: gs.${name}`); };
    methods[name] = absent; // which is its name, too
  }
});
