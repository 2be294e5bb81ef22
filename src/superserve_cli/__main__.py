from superserve_cli.app import main

main()
