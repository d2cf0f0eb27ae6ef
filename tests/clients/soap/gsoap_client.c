/* gSOAP: code made from the WSDLs and compiled; cases.h names a table and its fields a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "soapH.h"
#include "ServiceNowSoap.nsmap"

static void text(const char *name, const char *value, const char *end)
{
    if (name)
        printf("\"%s\":", name);
    putchar('"');
    for (const char *at = value ? value : ""; *at; at++) {
        if ((unsigned char)*at < 0x20)
            printf("\\u%04x", *at);
        else
            printf(*at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    }
    printf("\"%s", end);
}

/* The library forgets the credentials after each call. */
static struct soap *known(struct soap *soap)
{
    soap->userid = getenv("CLIENT_USER");
    soap->passwd = getenv("CLIENT_PASSWORD");
    return soap;
}

static void must(struct soap *soap, int outcome)
{
    if (outcome != SOAP_OK) {
        soap_print_fault(soap, stderr);
        exit(1);
    }
}

static char *address(const char *table, const char *words)
{
    static char found[1024];
    snprintf(found, sizeof found, "%s/%s.do?%sSOAP", getenv("CLIENT_URL"), table, words);
    return found;
}

#define CALL(NS, OPERATION, TABLE, WORDS)                                                   \
    soap_call___##NS##__##OPERATION(                                                        \
        known(soap), address(TABLE, WORDS), NULL, &OPERATION, &OPERATION##d)
#define MESSAGES(NS, OPERATION)                                                             \
    struct _##NS##__##OPERATION OPERATION;                                                  \
    struct _##NS##__##OPERATION##Response OPERATION##d;                                     \
    memset(&OPERATION, 0, sizeof OPERATION);                                                \
    memset(&OPERATION##d, 0, sizeof OPERATION##d)

#define CASE(NS, TABLE, FIELD, REFERENCE, EMPTY, VALUE, SECOND, SHOWN)                      \
    static void run_##NS(void)                                                              \
    {                                                                                       \
        struct soap *soap = soap_new1(SOAP_C_UTFSTRING);                                                       \
        MESSAGES(NS, insert);                                                               \
        MESSAGES(NS, get);                                                                  \
        MESSAGES(NS, getRecords);                                                           \
        MESSAGES(NS, getKeys);                                                              \
        MESSAGES(NS, update);                                                               \
        MESSAGES(NS, aggregate);                                                            \
        MESSAGES(NS, deleteRecord);                                                         \
        char query[64];                                                                     \
        insert.FIELD = VALUE;                                                               \
        insert.REFERENCE = SHOWN;                                                           \
        must(soap, CALL(NS, insert, TABLE, ""));                                            \
        char *made = insertd.sys_USCOREid;                                                  \
        get.sys_USCOREid = made;                                                            \
        must(soap, CALL(NS, get, TABLE, ""));                                               \
        printf("\"%s\":{\"got\":[", TABLE);                                                 \
        text(NULL, getd.FIELD, ",");                                                        \
        text(NULL, getd.REFERENCE, ",");                                                    \
        text(NULL, getd.EMPTY, "],");                                                       \
        must(soap, CALL(NS, get, TABLE, "displayvalue=true&"));                             \
        text("shown", getd.REFERENCE, ",");                                                 \
        snprintf(query, sizeof query, "sys_id=%s", made);                                   \
        getRecords._USCORE_USCOREencoded_USCOREquery = query;                               \
        getRecords._USCORE_USCORElimit = "5";                                               \
        must(soap, CALL(NS, getRecords, TABLE, ""));                                        \
        printf("\"records\":[");                                                            \
        for (int at = 0; at < getRecordsd.__sizegetRecordsResult; at++)                     \
            printf("%s%s", at ? "," : "",                                                   \
                strcmp(getRecordsd.getRecordsResult[at].sys_USCOREid, made) ? "false" : "true"); \
        getKeys.sys_USCOREid = made;                                                        \
        must(soap, CALL(NS, getKeys, TABLE, ""));                                           \
        printf("],\"keys\":[%s,%s],", strcmp(getKeysd.sys_USCOREid, made) ? "false" : "true", \
            getKeysd.count);                                                                \
        update.sys_USCOREid = made;                                                         \
        update.FIELD = SECOND;                                                              \
        must(soap, CALL(NS, update, TABLE, ""));                                            \
        must(soap, CALL(NS, get, TABLE, ""));                                               \
        text("updated", getd.FIELD, ",");                                                   \
        aggregate.COUNT = "sys_id";                                                         \
        aggregate.sys_USCOREid = made;                                                      \
        must(soap, CALL(NS, aggregate, TABLE, ""));                                         \
        printf("\"counted\":%s,", aggregated.aggregateResult[0].COUNT);                     \
        update.sys_USCOREid = "00000000000000000000000000000000";                           \
        if (CALL(NS, update, TABLE, "") == SOAP_OK)                                         \
            printf("\"fault\":null,");                                                      \
        else {                                                                              \
            printf("\"fault\":{");                                                          \
            text("code", *soap_faultcode(soap), ",");                                       \
            text("text", *soap_faultstring(soap), "},");                                    \
        }                                                                                   \
        deleteRecord.sys_USCOREid = made;                                                   \
        must(soap, CALL(NS, deleteRecord, TABLE, ""));                                      \
        printf("\"deleted\":%s,", deleteRecordd.count);                                     \
        memset(&getd, 0, sizeof getd);                                                      \
        must(soap, CALL(NS, get, TABLE, ""));                                               \
        printf("\"gone\":%s}", getd.sys_USCOREid && *getd.sys_USCOREid ? "false" : "true"); \
    }
#include "cases.h"
#undef CASE

#define CASE(NS, ...)                                                                       \
    if (any++)                                                                              \
        putchar(',');                                                                       \
    run_##NS();

int main(void)
{
    int any = 0;
    printf("{\"version\":\"%d\",\"warnings\":[],\"found\":{", GSOAP_VERSION);
#include "cases.h"
    printf("}}");
    return 0;
}
