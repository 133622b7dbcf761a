/* How fast a PKCS#11 module signs on all cores with nothing around it: bench/softhsm.py compiles and runs this.
 *
 *   softhsm MODULE TOKEN PIN KEY SECONDS PROCESSES
 *
 * Each process loads the module, logs in to the token of this label, finds the private key of this label, waits for the
 * others, and then calls C_SignInit and C_Sign (CKM_RSA_PKCS over a SHA-256 DigestInfo) for so many seconds. Printed is
 * the sum of signatures a second. PKCS#11 2.40 is declared here as far as it is needed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long CK;
typedef struct { unsigned char version[2]; void *of[68]; } functions;
typedef struct { CK type; const void *value; CK length; } attribute;
typedef struct { CK mechanism; void *parameter; CK length; } mechanism;

enum { INITIALIZE = 0, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18, FIND_INIT = 26, FIND = 27,
       FIND_FINAL = 28, SIGN_INIT = 42, SIGN = 43 };
enum { CKA_CLASS = 0, CKA_LABEL = 3, CKO_PRIVATE_KEY = 3, CKM_RSA_PKCS = 1, CKF_SERIAL_SESSION = 4 };

static functions *module;
#define CALL(which, types, ...) ((CK (*) types)module->of[which])(__VA_ARGS__)

static void must(CK code, const char *what) {
    if (code != 0) { fprintf(stderr, "%s: %#lx\n", what, code); _exit(1); }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static CK opened(const char *token, const char *pin) {
    CK slots[64], count = 64, session;
    must(CALL(INITIALIZE, (void *), NULL), "C_Initialize");
    must(CALL(GET_SLOT_LIST, (unsigned char, CK *, CK *), 1, slots, &count), "C_GetSlotList");
    for (CK at = 0; at < count; at++) {
        char info[512] = {0};
        must(CALL(GET_TOKEN_INFO, (CK, void *), slots[at], info), "C_GetTokenInfo");
        if (strncmp(info, token, strlen(token)) != 0 || info[strlen(token)] != ' ') continue;
        must(CALL(OPEN_SESSION, (CK, CK, void *, void *, CK *), slots[at], CKF_SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession");
        must(CALL(LOGIN, (CK, CK, const char *, CK), session, 1, pin, strlen(pin)), "C_Login");
        return session;
    }
    must(1, "no such token");
    return 0;
}

static double signs(const char *token, const char *pin, const char *label, double seconds, volatile int *ready, int all) {
    CK session = opened(token, pin), kind = CKO_PRIVATE_KEY, key, found, done = 0;
    attribute wanted[] = {{CKA_CLASS, &kind, sizeof kind}, {CKA_LABEL, label, strlen(label)}};
    must(CALL(FIND_INIT, (CK, attribute *, CK), session, wanted, 2), "C_FindObjectsInit");
    must(CALL(FIND, (CK, CK *, CK, CK *), session, &key, 1, &found), "C_FindObjects");
    must(CALL(FIND_FINAL, (CK), session), "C_FindObjectsFinal");
    must(found == 1 ? 0 : 1, "no such key");
    /* RFC 8017 section 9.2, note 1: the DigestInfo of SHA-256, here with a digest that counts */
    unsigned char data[51] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    unsigned char signature[1024];
    mechanism rsa = {CKM_RSA_PKCS, NULL, 0};
    __sync_fetch_and_add(ready, 1);
    while (*ready < all) usleep(1000);
    double start = now(), spent;
    do {
        CK length = sizeof signature;
        memcpy(data + 19, &done, sizeof done);
        must(CALL(SIGN_INIT, (CK, mechanism *, CK), session, &rsa, key), "C_SignInit");
        must(CALL(SIGN, (CK, unsigned char *, CK, unsigned char *, CK *), session, data, sizeof data, signature, &length), "C_Sign");
        done++;
    } while ((spent = now() - start) < seconds);
    return (double)done / spent;
}

int main(int count, char **words) {
    if (count != 7) return 2;
    int processes = atoi(words[6]);
    volatile int *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double *rates = (double *)(ready + 16), sum = 0;
    for (int at = 0; at < processes; at++)
        if (fork() == 0) {
            void *loaded = dlopen(words[1], RTLD_NOW);
            CK (*list)(functions **) = loaded == NULL ? NULL : (CK (*)(functions **))dlsym(loaded, "C_GetFunctionList");
            must(list == NULL ? 1 : list(&module), "the module cannot be loaded");
            rates[at] = signs(words[2], words[3], words[4], atof(words[5]), ready, processes);
            _exit(0);
        }
    for (int status, at = 0; at < processes; at++) {
        wait(&status);
        if (status != 0) return 1;
    }
    for (int at = 0; at < processes; at++) sum += rates[at];
    printf("%.1f\n", sum);
    return 0;
}
