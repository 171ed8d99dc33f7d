/* Loaded before everything else, in place of the system's resolver: a host in unanswered.test is looked up until there is a file
 * `answer` in a folder that the test names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *path(char *place, size_t size, const char *file) {
	const char *folder = getenv("RESOLVER_FOLDER");
	snprintf(place, size, "%s/%s", folder ? folder : ".", file);
	return place;
}

/* Leaves a file for the test to find. */
static void tell(const char *what) {
	char place[4096];
	FILE *file = fopen(path(place, sizeof place, what), "w");
	if (file)
		fclose(file);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	char place[4096];
	if (!node || !strstr(node, ".unanswered.test"))
		return real(node, service, hints, found);
	tell("asked");
	while (access(path(place, sizeof place, "answer"), F_OK) != 0)
		usleep(1000);
	tell("answered");
	return EAI_AGAIN;
}

/* The engine has its extensions look into the system's libraries before they look here. */
void *dlopen(const char *file, int mode) {
	void *(*real)(const char *, int) = dlsym(RTLD_NEXT, "dlopen");
	if (file && strstr(file, "websocket_multiplayer"))
		mode &= ~RTLD_DEEPBIND;
	return real(file, mode);
}

/* What a thread cleans up at its end keeps the library it is in loaded. An extension that is to be reloaded replaces this by
 * nothing, which by the above it cannot. */
int __cxa_thread_atexit_impl(void (*clean)(void *), void *what, void *library) {
	(void)clean, (void)what, (void)library;
	return 0;
}
