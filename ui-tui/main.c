/* SPDX-License-Identifier: Apache-2.0 */
/* kith: the one command of Kith. */
#include "base/secret.h"
#include "ui-tui/cli.h"

int main(int argc, char **argv)
{
	return secret_process_setup() < 0 ? 1 : cli_main(argc, argv);
}
