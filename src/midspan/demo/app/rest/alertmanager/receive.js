// Alertmanager posts a group of alerts; each has a fingerprint that stays the same while it lives.
(function process(/*RESTAPIRequest*/ request, /*RESTAPIResponse*/ response) {
    var body = request.body.data;
    if (!body || !body.alerts || !body.alerts.length) {
        response.setError(new sn_ws_err.BadRequestError('Expected a webhook payload with alerts'));
        return;
    }
    var impacts = { critical: '1', warning: '2' };
    var result = { opened: [], resolved: [], unchanged: 0 };

    body.alerts.forEach(function (alert) {
        var incident = new GlideRecord('incident');
        incident.addQuery('correlation_id', alert.fingerprint);
        incident.addQuery('state', 'NOT IN', '6,7,8');
        incident.setLimit(1);
        incident.query();
        var open = incident.next();

        if (alert.status === 'resolved') {
            if (open) {
                incident.setValue('state', '6');
                incident.setValue('close_code', 'Resolved by caller');
                incident.setValue('close_notes', 'The alert resolved at ' + alert.endsAt);
                incident.update();
                result.resolved.push(incident.getValue('number'));
            } else {
                result.unchanged += 1;
            }
            return;
        }
        if (open) {
            result.unchanged += 1;
            return;
        }
        var labels = alert.labels || {};
        var notes = alert.annotations || {};
        var fresh = new GlideRecord('incident');
        fresh.initialize();
        fresh.setValue('short_description', notes.summary || labels.alertname || 'Alert');
        fresh.setValue('description', notes.description || '');
        fresh.setValue('correlation_id', alert.fingerprint);
        fresh.setValue('correlation_display', body.receiver || 'Alertmanager');
        fresh.setValue('impact', impacts[labels.severity] || '3');
        fresh.setValue('urgency', impacts[labels.severity] || '3');
        fresh.insert();
        result.opened.push(fresh.getValue('number'));
    });
    response.setStatus(result.opened.length ? 201 : 200);
    return result;
})(request, response);
