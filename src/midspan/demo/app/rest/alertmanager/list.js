// One call gives a wall display everything it shows: filtered, sorted and formatted.
(function process(/*RESTAPIRequest*/ request, /*RESTAPIResponse*/ response) {
    var impacts = { critical: '1', warning: '2', info: '3' };
    var severity = request.pathParams.severity;
    if (!(severity in impacts)) {
        response.setError(new sn_ws_err.NotFoundError('Unknown severity ' + severity +
            '; known: ' + Object.keys(impacts).join(', ')));
        return;
    }
    var rows = [];
    var incident = new GlideRecord('incident');
    incident.addQuery('impact', impacts[severity]);
    incident.addQuery('state', 'NOT IN', '6,7,8');
    incident.addNotNullQuery('correlation_id');
    incident.orderByDesc('sys_created_on');
    incident.setLimit(50);
    incident.query();
    while (incident.next()) {
        rows.push({
            number: incident.getValue('number'),
            summary: incident.getValue('short_description'),
            state: incident.getDisplayValue('state'),
            since: incident.getValue('opened_at')
        });
    }
    return { severity: severity, count: rows.length, incidents: rows };
})(request, response);
