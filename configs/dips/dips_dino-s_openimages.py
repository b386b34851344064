# DiPS (Murtaza et al., IVC 2023), DINO ViT-S/16 at 224 on OpenImages30k: masks, no boxes. The epoch is chosen on val
# and reported on test. No setting is published: those of CUB, a smaller area limit (the masks are often small), 10
# epochs of the decoder as in the paper. The official code ranks proposals by wsolevaluation's ResNet-50, which is not
# released; as on CUB, the linear classifier does it here.
_base_ = ['./dips_dino-s_cub.py']
dataset = dict(type='mmwsol.OpenImages30k', data_root='data/OpenImages')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dict(dataset, split='val'))
test_dataloader = dict(dataset=dict(dataset, split='test'))
model = dict(head=dict(num_classes=100), map_to_box=dict(threshold=0.5))  # pictures only: PxAP has all thresholds
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.PxAP', map_to_box=dict(type='mmwsol.ContourBox', preset='dips'), map_class='agnostic'),
]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='seg/pxap'))
custom_hooks = [dict(type='mmwsol.EpochSeedHook')]
stages = [
    {{_base_.classifier_stage}},
    dict(
        name='proposals',
        train_dataloader=dict(dataset=dict(pipeline={{_base_.test_pipeline}})),
        train_cfg=dict(_delete_=True, type='mmwsol.OfflineLoop', writer=dict(
            type='mmwsol.ProposalWriter', min_area=0.25, blur_kernel=115, blur_sigma=100.5))),
    dict(
        name='decoder',
        model=dict(head=dict(train_part='decoder')),
        train_dataloader=dict(dataset=dict(pipeline={{_base_.decoder_pipeline}})),
        train_cfg=dict(max_epochs=10)),
]
