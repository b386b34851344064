# TRT with the values that the paper states: u = 0.65, Adam, weight decay 5e-4, 15 epochs of the CAM branch. The
# learning rate is that of the official command line, and the box threshold, which the paper searches, is fixed.
_base_ = ['./trt_deit-b_cub.py']
model = dict(backbone=dict(tpsm=dict(u=0.65)))
optim_wrapper = dict(optimizer=dict(type='Adam', weight_decay=5e-4))
stages = [
    dict(name='tpsm', model=dict(head=dict(train_part='tpsm'))),
    dict(
        name='cam',
        init_from='best',
        model=dict(head=dict(train_part='cam')),
        param_scheduler=dict(milestones=[9]),
        train_cfg=dict(max_epochs=15)),
]
