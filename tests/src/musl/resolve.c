/* Asks the resolver of the libc that it is linked with for each of its arguments: one line for every address, or one that
   says why there is none. Ends with 0 if all were found. */
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	int missing = 0;
	for (int i = 1; i < argc; i++) {
		/* Both families, as nearly every program asks: musl then needs a good answer to each. */
		struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
		struct addrinfo *all;
		int failure = getaddrinfo(argv[i], NULL, &hints, &all);
		if (failure) {
			printf("%s: %s\n", argv[i], gai_strerror(failure));
			missing = 1;
			continue;
		}
		for (struct addrinfo *one = all; one; one = one->ai_next) {
			char text[INET6_ADDRSTRLEN];
			const void *address = one->ai_family == AF_INET
				? (const void *)&((struct sockaddr_in *)one->ai_addr)->sin_addr
				: (const void *)&((struct sockaddr_in6 *)one->ai_addr)->sin6_addr;
			inet_ntop(one->ai_family, address, text, sizeof text);
			printf("%s %s\n", argv[i], text);
		}
		freeaddrinfo(all);
	}
	return missing;
}
