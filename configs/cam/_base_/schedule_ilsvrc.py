# wsolevaluation's CAM on ILSVRC: as on CUB, but 10 epochs.
_base_ = ['./schedule_cub.py']
param_scheduler = dict(milestones=[2, 5, 8])  # the start of every 3rd epoch
train_cfg = dict(max_epochs=10, val_interval=1)
