/* What is private is replaced and counted; what only looks like it stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/redact.h"

#include <string.h>

static void expect(const char *text, const char *wanted, uint64_t total) {
    bytes out = {0};
    uint64_t counts[INGEST_REDACTIONS] = {0}, sum = 0;
    assert_true(redact_text(text, &out, counts));
    for (size_t i = 0; i < INGEST_REDACTIONS; i++) sum += counts[i];
    if (strcmp(out.data, wanted)) print_error("of \"%s\"\n", text);
    assert_string_equal(out.data, wanted);
    assert_int_equal(sum, total);
    bytes_free(&out);
}

static void stays(const char *text) {
    expect(text, text, 0);
}

static void addresses_of_mail(void **state) {
    (void)state;
    expect("Write to anna.k+x@mail.example.org.", "Write to [email].", 1);
    expect("<a@b.de>, c@d.com", "<[email]>, [email]", 2);
    stays("me @ home, a@b, foo@, @anna, 3@4.5, x@y.z1");
}

static void keys(void **state) {
    (void)state;
    expect("key sk-proj-abcdefghij0123456789ABCD ok", "key [key] ok", 1);
    expect("AKIAIOSFODNN7EXAMPLE", "[key]", 1);
    expect("ghp_0123456789abcdefghij0123456789abcdef", "[key]", 1);
    expect("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_w", "t=[key]", 1);
    expect("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nAAAA\n-----END RSA PRIVATE KEY-----\nb",
           "a\n[key]\nb", 1);
    stays("-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----");
    stays("risk-averse, sk-learn, sk-, task-force-of-twenty-people-in-a-row, AKIA, hf_model");
    stays("commit 3f786850e387550fdab836ed7e6dc881de23001b");
}

static void passwords(void **state) {
    (void)state;
    expect("Password: hunter2 and more", "Password: [password] and more", 1);
    expect("user=anna\npasswd=s3cret", "user=anna\npasswd=[password]", 1);
    stays("the password is long; password:\nnext line; a password, forgotten");
}

static void card_numbers(void **state) {
    (void)state;
    expect("4111 1111 1111 1111, 5500-0000-0000-0004", "[card], [card]", 2);
    expect("378282246310005", "[card]", 1);
    expect("card 4111111111111111.", "card [card].", 1);
    stays("4111 1111 1111 1112"); /* the check digit */
    stays("order 1234567890123452, id 9999999999999995, 41 11 11 11 11 11 11 11");
    stays("a4111111111111111, 4111111111111111b, 0.4111111111111111");
}

static void bank_accounts(void **state) {
    (void)state;
    expect("IBAN DE89 3704 0044 0532 0130 00 and GB82WEST12345698765432", "IBAN [iban] and [iban]",
           2);
    stays("DE88 3704 0044 0532 0130 00, XX89370400440532013000, DE89");
}

static void telephone_numbers(void **state) {
    (void)state;
    expect("call +44 20 7946 0958 now", "call [phone] now", 1);
    expect("+1 (555) 123-4567 or (555) 123-4567 or 555-123-4567", "[phone] or [phone] or [phone]",
           3);
    expect("+491711234567, 0171 2345678, 030/1234567, 06 12 34 56 78",
           "[phone], [phone], [phone], [phone]", 4);
    stays("2024-01-31, 31.12.2023, 01/02/2024 10:30, 10:30-11:45, 2023-2024");
    stays("order 4711-0815, #555-123-4567, version 1.2.3.4, 192.168.10.254, 10.0.19045.3803");
    stays("ISBN 978-3-16-148410-0, 1,234,567.89, +5 degrees, 100 200 300, 12 34 56");
    stays("0123456789, 20240131T101500, 550e8400-e29b-41d4-a716-446655440000");
}

static void places_are_kept(void **state) {
    (void)state;
    expect("Ann\xc3\xa9: a@b.org,\n0171 2345678\n", "Ann\xc3\xa9: [email],\n[phone]\n", 2);
    stays("");
    assert_string_equal(ingest_redaction_name(0), "key");
    assert_string_equal(ingest_redaction_name(INGEST_REDACTIONS), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_mail), cmocka_unit_test(keys),
        cmocka_unit_test(passwords),         cmocka_unit_test(card_numbers),
        cmocka_unit_test(bank_accounts),     cmocka_unit_test(telephone_numbers),
        cmocka_unit_test(places_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
